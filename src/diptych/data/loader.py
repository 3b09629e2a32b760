"""Loading in processes of their own, which a signal to the whole group of processes does not end."""

from typing import Any, TypeVar

from torch.utils.data import DataLoader, Dataset

from diptych.signals import blocked_signals, obey_parent

T = TypeVar("T")


class ShieldedLoader(DataLoader[T]):
    """A `DataLoader` whose workers are deaf to what stops a run: the batch under way is still to be finished."""

    def __init__(self, dataset: Dataset[T], **settings: Any) -> None:
        super().__init__(dataset, worker_init_fn=obey_parent, **settings)

    def __iter__(self) -> Any:
        """Start the workers, or the next epoch of those that persist."""
        with blocked_signals():
            return super().__iter__()
