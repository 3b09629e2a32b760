"""Write the photographs and textures that come with scikit-image as PNG, to try style transfer on.

python scripts/export_photos.py --out photos --size 256
"""

import argparse
from pathlib import Path

from PIL import Image
from skimage import data

NAMES = {
    "content": ("astronaut", "cat", "coffee", "rocket"),
    "style": ("brick", "colorwheel", "grass", "gravel", "hubble_deep_field", "immunohistochemistry", "retina"),
}


def main() -> None:
    """Write each into the folder of what it is good for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="gets the folders content and style")
    parser.add_argument("--size", type=int, help="bring the shorter side to so many pixels first")
    options = parser.parse_args()
    for folder, names in NAMES.items():
        (options.out / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            image = Image.fromarray(getattr(data, name)()).convert("RGB")
            if options.size:
                factor = options.size / min(image.size)
                image = image.resize(
                    (round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS
                )
            image.save(options.out / folder / f"{name}.png")
    print(f"{sum(map(len, NAMES.values()))} images in {options.out}")


if __name__ == "__main__":
    main()
