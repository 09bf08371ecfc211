"""The JSON API: the original's routes, drawn from one snapshot or from history, and the document that describes them.

resources.py   which things there are, and which family fills which field        (tables)
frames.py      snapshot → one column per field, joined once per topology
view.py        one snapshot as the routes see it: frames, what exists, what is missing
parameters.py  what a client may say, checked against closed sets
routes.py      one row per route; answering, ETag, compression
accelerators · infrastructure · hardware · clusters · monitoring · timeseries · system    rows of routes
openapi.py     the document, generated from the rows and their models
"""
