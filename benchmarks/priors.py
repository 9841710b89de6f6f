"""Seconds and memory that each prior policy takes on tables of MIMIC-CXR's size.

    python benchmarks/priors.py [--images 377110] [--policy NAME]...

Prints a row a policy: seconds of pairing with paths, the best of three, and the peak of resident
memory of a process that does nothing else. Exit code 1 when a policy takes more than 3 s or 1 GB.
"""

import argparse
import multiprocessing
import resource
import sys
import time

import numpy as np
import pandas as pd

from libra_bench.data.pairing import POLICIES, pair, with_paths

IMAGES = 377_110
SECONDS, MEGABYTES = 3.0, 1000.0


def collection(images: int, seed: int = 0) -> pd.DataFrame:
    """Images as in MIMIC-CXR: 1.7 a study, 3.5 studies a patient, some of them on one day."""
    rng = np.random.default_rng(seed)
    study_of = np.sort(rng.integers(0, int(images * 0.604), images))
    studies = study_of.max() + 1
    patient_of = np.sort(rng.integers(0, int(studies * 0.287), studies))
    day = rng.integers(0, 2000, studies)
    day[1:] = np.where(rng.random(studies - 1) < 0.1, day[:-1], day[1:])
    split = np.array(["train", "validate", "test"])[
        rng.choice(3, patient_of.max() + 1, p=[0.98, 0.01, 0.01])
    ]
    identifiers = rng.permutation(10_000_000)[:studies] + 50_000_000
    digits = rng.integers(0, 1 << 32, (images, 5))
    frame = pd.DataFrame(
        {
            "split": split[patient_of][study_of],
            "subject_id": (patient_of[study_of] + 10_000_000).astype(str),
            "study_id": identifiers[study_of].astype(str),
            "dicom_id": ["-".join(f"{part:08x}" for part in row) for row in digits.tolist()],
            "view": rng.choice(["PA", "AP", "LATERAL", "LL", ""], images),
            "date": 21_000_101 + day[study_of],
            "time": rng.integers(0, 24, studies)[study_of] * 10_000.0,
        }
    )
    return frame.sample(frac=1, random_state=seed).reset_index(drop=True)


def measure(policy: str, images: int) -> tuple[float, float, int]:
    """(seconds, megabytes, images with a prior) of one policy."""
    frame = collection(images)
    best = np.inf
    for _ in range(3):
        started = time.perf_counter()
        paired = with_paths(pair(frame, policy))
        best = min(best, time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return best, peak, int((paired["prior_image"] != "").sum())


def main() -> int:
    """Measure each policy in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--policy", action="append", choices=list(POLICIES))
    given = parser.parse_args()
    slow = False
    print(f"{given.images} images\npolicy               seconds  MB      with a prior")
    for policy in given.policy or POLICIES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, megabytes, paired = pool.apply(measure, (policy, given.images))
        print(f"{policy:20} {seconds:7.2f}  {megabytes:6.0f}  {paired}", flush=True)
        slow |= seconds > SECONDS or megabytes > MEGABYTES
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
