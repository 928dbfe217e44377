"""`benchmark --init`: a source for each detector."""

import pytest

from sixrayd.cli import cli
from tests.benchmark.test_benchmark import write_tree
from tests.benchmark.test_given_split import save_model
from tests.squares import ingest, squares


@pytest.fixture
def asked(tmp_path, runner):
    """What the benchmark says that is to train two small detectors, of which RFB's weights fit
    one."""
    workspace = ingest(tmp_path, squares(positives=6, negatives=4, hidden=0))
    save_model(workspace, "first", ["P00001"])
    weights = workspace.folder("models", "first") / "weights.safetensors"
    tree = write_tree(tmp_path / "tree", learnt=8, judged=2, empty=0)

    def ask(init, *more):
        command = ["benchmark", "-w", str(tmp_path / "new"), "--voc", str(tree)]
        command += ["--train-missing", "--detectors", "ssd-small,rfb-small", "--epochs", "1"]
        done = runner.invoke(cli, [*command, "--init", init.format(weights), *more])
        assert not (tmp_path / "new" / "trees" / "tree" / "models").exists()
        return str(done.exception), weights

    return ask


def test_weights_that_fit_one_of_two_are_refused_before_training(asked):
    line, weights = asked("{}")

    assert line.startswith(f"--init {weights}: fits rfb-small, not ssd-small ({weights}: ")
    assert line.endswith(
        f"; name a source for each, as in --init ssd-small=auto,rfb-small={weights}"
    )


def test_a_source_that_is_named_for_the_wrong_detector_is_refused(asked):
    line, weights = asked("rfb-small=none,ssd-small={}")

    assert line.startswith(f"--init {weights}: does not fit ssd-small ({weights}")


def test_a_source_that_is_not_there_is_refused(asked):
    line, _ = asked("ssd-small=absent")

    assert line.startswith("--init absent: no such file, and none of the names vgg16-reduc")


def test_what_only_training_takes_reaches_it(asked):
    line, _ = asked("none", "--amp", "fp16")
    assert line.startswith("amp fp16: needs a GPU")
    line, _ = asked("none", "--micro-batch", "0")
    assert line == "micro-batch 0: expected 1 to 1,024"
