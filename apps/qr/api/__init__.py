"""The DICOMweb edge of query and retrieve (PS3.18 10): read the request, call the verb, name the status."""
