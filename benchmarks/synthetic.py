"""Rows of an archive that has grown for eleven years, made inside PostgreSQL, without files."""

from typing import Any

from django.db import connection

# Family and given names are products of syllables.
FAMILY = (
    ["sch", "m", "br", "k", "h", "w", "st", "l", "b", "f", "gr", "p", "d", "v", "z", "r", "n", "kr", "t", "j"],
    ["a", "e", "i", "o", "u", "ei", "au", "ie", "oe", "ue"],
    [
        "ller",
        "nn",
        "mann",
        "ck",
        "cht",
        "rt",
        "ssen",
        "ber",
        "ng",
        "tz",
        "st",
        "ll",
        "dt",
        "ff",
        "rg",
        "ner",
        "ger",
        "ez",
    ],
)
GIVEN = (
    ["an", "mar", "jo", "el", "ka", "lu", "pe", "su", "th", "mi"],
    ["na", "ia", "hn", "se", "rl", "ka", "ter", "nne", "om", "ch"],
)
_MODALITIES = (
    ["CT", "CT", "CT", "MR", "MR", "DX", "DX", "DX", "CR", "CR", "US", "US", "MG", "CT\\SR", "XA", "PT\\CT", "NM"]
)  # fmt: skip
UID_ROOT = "1.2.826.0.1.3680043.10.1461.9"

_FUNCTIONS = """
CREATE OR REPLACE FUNCTION pg_temp.draw(seed bigint, salt int, below bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT (hashint8extended(seed, salt) & 9223372036854775807) % below $$;
CREATE OR REPLACE FUNCTION pg_temp.pick(seed bigint, salt int, choices text[]) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT choices[1 + (hashint8extended(seed, salt) & 9223372036854775807) % array_length(choices, 1)] $$;
"""
_PATIENTS = """
INSERT INTO storage_patient (patient_id, issuer_of_patient_id, sole_study_instance_uid, patient_name, patient_name_key,
    patient_name_ideographic_key, patient_name_phonetic_key, patient_birth_date, patient_birth_date_value,
    patient_birth_time, patient_sex, other_patient_ids, ethnic_group, patient_comments, sources)
SELECT lpad(pg_temp.draw(n, 9, 1000000)::text, 6, '0') || n, 'HOSPITAL', '', upper(name), name, '', '',
    to_char(born, 'YYYYMMDD'), born, '', pg_temp.pick(n, 5, ARRAY['F', 'M']), '', '', '', '{}'
FROM (SELECT n, pg_temp.pick(n, 1, %s) || pg_temp.pick(n, 2, %s) || pg_temp.pick(n, 3, %s) || '^'
        || pg_temp.pick(n, 4, %s) || pg_temp.pick(n, 6, %s) AS name,
    DATE '1930-01-01' + pg_temp.draw(n, 7, 32000)::int AS born
    FROM generate_series(1, %s) n) drawn
"""
_STUDIES = f"""
INSERT INTO storage_study (study_instance_uid, patient_id, study_date, study_date_value, study_time, study_time_value,
    accession_number, issuer_of_accession_number, study_id, study_description, referring_physician_name,
    referring_physician_name_key, name_of_physicians_reading_study, admitting_diagnoses_description, patient_age,
    patient_size, patient_weight, timezone_offset_from_utc, specific_character_set, modalities_in_study,
    sop_classes_in_study, number_of_study_related_series, number_of_study_related_instances, sources, revision,
    received_at, changed_at)
SELECT '{UID_ROOT}.' || n, first.id + pg_temp.draw(n, 11, %s), to_char(day, 'YYYYMMDD'), day, to_char(at, 'HH24MISS'),
    at, 'A' || lpad(n::text, 10, '0'), '', n::text,
    pg_temp.pick(n, 12, ARRAY['CT Abdomen', 'MR Knee left', 'Chest pa', 'US Abdomen', 'CT Head']),
    upper(doctor), doctor, '', '', '', '', '', '', 'ISO_IR 100', pg_temp.pick(n, 13, %s), '1.2.840.10008.5.1.4.1.1.2',
    1, 1, '{{}}', 1, now(), now()
FROM (SELECT min(id) AS id FROM storage_patient) first, (SELECT n,
    -- In the order they came, as archives grow: a few days late at most.
    DATE '2014-01-01' + (4017 * sqrt(n::float / %s))::int - pg_temp.draw(n, 14, 3)::int AS day,
    TIME '00:00' + make_interval(secs => pg_temp.draw(n, 15, 86400)) AS at,
    'dr' || pg_temp.draw(n, 16, 3000) || '^' || pg_temp.pick(n, 17, %s) AS doctor
    FROM generate_series(1, %s) n) drawn
"""
_SERIES = """
INSERT INTO storage_series (series_instance_uid, study_id, modality, series_number, series_number_value,
    series_description, series_date, series_date_value, series_time, series_time_value, body_part_examined, laterality,
    protocol_name, station_name, institution_name, manufacturer, performing_physician_name,
    performing_physician_name_key, operators_name, performed_procedure_step_start_date,
    performed_procedure_step_start_time, performed_procedure_step_id, request_attributes_sequence, sop_classes,
    number_of_series_related_instances, sources, revision, changed_at)
SELECT study_instance_uid || '.1', id, split_part(modalities_in_study, '\\', 1), '1', 1, 'Series', study_date,
    study_date_value, study_time, study_time_value, '', '', '', 'STATION', 'Hospital', 'Maker', '', '', '', '', '', '',
    '[]', sop_classes_in_study, 1, '{}', 1, now()
FROM storage_study
"""
_INSTANCES = """
INSERT INTO storage_instance (name, path, digest, size, transfer_syntax_uid, storage_format, dataset_offset,
    received_at, calling_ae_title, peer, sop_instance_uid, series_id, sop_class_uid, instance_number,
    instance_number_value, content_date, content_time, acquisition_number, image_type, number_of_frames, revision,
    decided_current)
SELECT id::text, id::text, repeat('0', 64), 524288, '1.2.840.10008.1.2.1', 0, 1000, now(), 'CT', 'ct',
    series_instance_uid || '.1', id, sop_classes, '1', 1, '', '', '', '', '', 1, FALSE
FROM storage_series
"""


def fill(studies: int) -> None:
    """Two studies and a half a patient, a series a study, an instance a series."""
    patients = max(1, studies * 2 // 5)
    with connection.cursor() as cursor:
        cursor.execute(_FUNCTIONS)
        statements: tuple[tuple[str, list[Any] | None], ...] = (
            (_PATIENTS, [*FAMILY, *GIVEN, patients]),
            (_STUDIES, [patients, _MODALITIES, studies, GIVEN[0], studies]),
            (_SERIES, None),
            (_INSTANCES, None),
        )
        for statement, values in statements:
            cursor.execute(statement, values)
            cursor.execute("VACUUM ANALYZE")  # or foreign keys are checked by plans made for empty tables
