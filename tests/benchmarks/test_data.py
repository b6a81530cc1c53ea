from pathlib import Path

import pydicom
import pytest

from benchmarks import data


@pytest.mark.parametrize(("made_from", "size"), [(data.tiny, 1_500), (data.ct_8k, 8_192), (data.ct_512k, 524_288)])
def test_a_template_makes_an_image_of_its_size(made_from, size: int) -> None:  # type: ignore[no-untyped-def]
    assert size * 0.9 < len(made_from().content) < size * 1.1


def test_every_run_has_instances_that_no_run_had_before(tmp_path: Path) -> None:
    template = data.tiny()
    sets = [data.one_study(template, 3, tmp_path) for _ in range(2)]
    read = [pydicom.dcmread(path) for images in sets for path in images.paths]
    assert len({ds.SOPInstanceUID for ds in read}) == 6
    assert {ds.StudyInstanceUID for ds in read} == {images.study_instance_uids[0] for images in sets}
    assert all(ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID for ds in read)
    assert len({ds.PixelData for ds in read}) == 3


def test_many_studies_have_two_for_each_patient(tmp_path: Path) -> None:
    images = data.many_studies(data.tiny(), 8, tmp_path)
    read = [pydicom.dcmread(path) for path in images.paths]
    assert len(images.study_instance_uids) == len({ds.StudyInstanceUID for ds in read}) == 8
    assert len({ds.PatientID for ds in read}) == len({str(ds.PatientName) for ds in read}) == 4


def test_the_data_set_begins_where_the_template_says() -> None:
    template = data.tiny()
    assert template.content[template.dataset_offset :].startswith(b"\x08\x00\x05\x00CS")


def test_a_value_wider_than_its_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="patient_id is longer"):
        data.tiny().filled(data.Values("1.2", "1.3", "1.4", patient_id="P" * 11))
