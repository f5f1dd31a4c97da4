"""The other side's measure of the machine: a large square matrix product in PyTorch, imported when it is asked for."""

from collections.abc import Callable


def product(
    *, size: int, dtype: str = "float32", channels_last: bool = False, threads: int = 0
) -> Callable[[int], None]:
    """``run(n)`` multiplies two square matrices n times and waits for the device.

    Args:
      size: rows and columns.
      dtype: of the matrices.
      channels_last: without effect, since matrices have one layout.
      threads: of the processor; 0 leaves PyTorch's own choice.
    """
    import torch

    del channels_last
    if threads:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    a = torch.ones(size, size, dtype=getattr(torch, dtype), device=device)

    def run(count: int) -> None:
        for _ in range(count):
            result = a @ a
        result[0, 0].item()

    return run
