from benchmarks.report import Result, Sample, rows


def test_a_ratio_is_taken_round_by_round() -> None:
    """A noisy second round slows both, and leaves the ratio alone."""
    ours, theirs = [Sample(300, 1, 1 << 20), Sample(30, 1, 1 << 20)], [Sample(100, 1, 1 << 20), Sample(10, 1, 1 << 20)]
    result = Result("receive", "instances/s", "Orthanc", {"PACS": ours, "Orthanc": theirs})
    head, pacs, orthanc = rows(result)
    assert head == "| **receive**, instances/s | | | | |"
    assert pacs == "| PACS | 165 (30 to 300) | 3.00 (3.00 to 3.00) | 1.00 | 1 MiB |"
    assert orthanc == "| Orthanc | 55 (10 to 100) | 1 | 1.00 | 1 MiB |"


def test_without_a_baseline_there_is_no_ratio() -> None:
    result = Result("receive", "instances/s", "Orthanc", {"disk floor": [Sample(1000, 0, 0)]})
    assert list(rows(result))[1] == "| disk floor | 1,000 (1,000 to 1,000) | - | - | - |"
