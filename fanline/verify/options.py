"""Options of a run."""

from dataclasses import dataclass

from fanline.verify.system.installation import Place


@dataclass(frozen=True)
class Options:
    """Options of a run.

    Attributes:
        seed: What the faults and all other choices follow from.
        duration: How long the load lasts, in seconds.
        publishers: How many there are.
        subscribers: How many there are.
        rate: Messages a second that each publisher publishes at most.
        every: Seconds between two faults, on average.
        faults: Whether there are any.
        keep: Whether to keep the files of the services in any case.
        place: The pipeline to verify; None starts one.
        is_cluster: Whether that has two msgqueues on three NATS servers.
    """

    seed: int
    duration: float = 60.0
    publishers: int = 6
    subscribers: int = 10
    rate: float = 100.0
    every: float = 2.0
    faults: bool = True
    keep: bool = False
    place: Place | None = None
    is_cluster: bool = False

    @property
    def command(self) -> str:
        """Command that repeats the run."""
        words = [f"fanline verify --seed {self.seed} --duration {self.duration:g}"]
        words.append(f"--publishers {self.publishers} --subscribers {self.subscribers} --rate {self.rate:g}")
        words.append(f"--every {self.every:g}" if self.faults else "--no-faults")
        if self.is_cluster:
            words.append("--cluster")
        if self.place is not None:
            words.append(f"--publisher-url {self.place.publisher_url}")
            words.append(f"--subscriber-url {self.place.subscriber_url}")
        return " ".join(words)
