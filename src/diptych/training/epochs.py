"""Lightning's count of epochs, which is in batches, beside that of the images seen."""

from typing import Any

from diptych.data import EpochBatches


def align_loops(fit_loop: dict[str, Any], batches: EpochBatches) -> None:
    """Let a checkpoint's `fit_loop` count as many epochs and batches of this one as `batches` make of the images seen.

    Where nothing has changed since it was written that is what it says already, and it stays as it is. Otherwise
    Lightning would take the batches of the old size that it counted for ones of the new.
    """
    epochs, progress = fit_loop["epoch_progress"], fit_loop["epoch_loop.batch_progress"]
    epoch, position = batches.locate()
    done = len(batches) - sum(1 for _ in batches) if position else 0
    finished = progress["is_last_batch"] or epochs["current"]["processed"] == epochs["current"]["started"]
    counted = epochs["current"]["started" if finished else "processed"], progress["current"]["ready"]
    if counted == (epoch, done or len(batches)):
        return
    for counts in epochs["total"], epochs["current"]:
        if done:  # in the middle of an epoch
            counts |= {"ready": epoch + 1, "started": epoch + 1, "processed": epoch, "completed": epoch}
        else:  # at the end of one, before Lightning notes that it is completed
            counts |= {"ready": epoch, "started": epoch, "processed": epoch, "completed": max(0, epoch - 1)}
    progress["current"] |= {"ready": done, "started": done, "processed": done, "completed": done - 1}
    progress["total"]["completed"] = progress["total"]["processed"] - 1
    progress["is_last_batch"] = False
