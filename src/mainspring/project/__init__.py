"""The project file: one strict YAML document that holds every rule of a model's life.

`load(path)` reads it and raises every mistake at once; `lower(project)` gives the records that the layers take.
Read `models` (the document as written), then `lower_sections` (a function a section), then `load`.
"""
