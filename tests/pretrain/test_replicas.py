"""Two processes that train together have the weights that one has with all of their images."""

import subprocess
import sys
import textwrap
from pathlib import Path

import torch

from cn.pretrain import replicas

SCRIPT = """
import sys
from pathlib import Path
import torch
from torch import nn
from cn.pretrain import replicas
from cn.pretrain.budget import Budget
from cn.pretrain.master_weights import StageConfig
from cn.pretrain.session import train_session
from cn.train.distributed.group import joined

torch.set_num_threads(1)
folder, size = Path(sys.argv[1]), 8
with joined("cpu"):
    share = size // replicas.count()
    torch.manual_seed(replicas.rank())
    net = nn.Linear(3, 1)

    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return (self.net(x) - x.sum(1, keepdim=True)).square().mean()

    def draw(step):
        whole = torch.randn(size, 3, generator=torch.Generator().manual_seed(step))
        return (whole[replicas.rank() * share : (replicas.rank() + 1) * share],)

    # Each process has a clock of its own: that of the first one counts.
    budget = Budget(steps=5 if replicas.is_first() else 3)
    train_session("line", Loss(), draw, folder / "state.pt", budget, StageConfig(share, 0.1, warmup=1, ema_decay=0.5))
    torch.save(net.state_dict(), folder / f"rank-{replicas.rank()}.pt")
"""


def run(folder: Path, processes: int) -> None:
    folder.mkdir()
    script = folder / "train.py"
    script.write_text(textwrap.dedent(SCRIPT))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    subprocess.run([sys.executable, *launcher, str(script), str(folder)], check=True, capture_output=True, timeout=300)


def test_two_processes_train_as_one(tmp_path):
    run(tmp_path / "two", 2)
    run(tmp_path / "one", 1)
    first, second, alone = (
        torch.load(tmp_path / path, weights_only=True) for path in ("two/rank-0.pt", "two/rank-1.pt", "one/rank-0.pt")
    )
    assert torch.equal(first["weight"], second["weight"])
    torch.testing.assert_close(first, alone, rtol=1e-5, atol=1e-6)
    assert torch.load(tmp_path / "two/state.pt", weights_only=True)["step"] == 5


def test_a_process_alone_agrees_with_itself():
    values = torch.tensor([1.0, 2.0])
    replicas.average(values)
    assert (replicas.rank(), replicas.count(), replicas.agree(0.25)) == (0, 1, 0.25)
    assert values.tolist() == [1.0, 2.0]
    assert replicas.launched_device(torch.device("cpu")) == torch.device("cpu")
