"""The stages: the command that fills each folder, and what must not be written beside it."""

# Stage folder → the command that fills it, in the order of the pipeline.
STAGES = {
    "shards": "sixrayd download --release FOLDER",
    "models": "sixrayd train",
    "mine": "sixrayd mine",
    "review": "sixrayd review push",
    "estimate": "sixrayd estimate",
    "export": "sixrayd export --voc",
    "benchmark": "sixrayd benchmark --train-missing",
    "audit": "sixrayd audit",
}
ASIDE = ("audit",)  # nothing waits for these
SERVER = "server"  # folder beside the reviews: Label Studio's data, which its owner alone may see
_COMPUTING, _PEOPLE = ".lock", ".lock-review"
# What people do goes on beside what computes for days; stages that are not named keep out all.
_LOCKS = dict.fromkeys(("models", "mine", "benchmark", "audit"), (_COMPUTING,)) | dict.fromkeys(
    ("review", "estimate"), (_PEOPLE,)
)


def locks_of(stage: str) -> tuple[str, ...]:
    """The files that are held while a stage is written; without one, all."""
    return _LOCKS.get(stage, (_COMPUTING, _PEOPLE))


def verb(command: str) -> str:
    """What a command is called, without what it is told."""
    return " ".join(command.split()[:2])
