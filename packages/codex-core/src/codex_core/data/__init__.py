"""The data room: datasets in, content-addressed prepared sets out, rows in a reproducible order.

Layers, each usable alone: readers (`pydoc`, `text`, `jsonl`) yield records; `prepare` turns the records of a plan
into stored texts, a tokenizer and packed tokens; `order` and `packing` give the rows of any global position.
Public: `prepare.prepare`, `prepared.open_prepared`, `estimate.estimate`. Importing the package loads none of it.
"""
