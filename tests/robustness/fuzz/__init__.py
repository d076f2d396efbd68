"""Feeds damaged files to everything that reads files, by the hundred thousand.

    python -m tests.robustness.fuzz --reader bbolt --inputs 100000 --seed 1

Inputs are made from sound files by a seeded mutator that knows the format: it damages fields that
matter and puts the checksums right again, so that the damage gets past them. An input that leads
to an outcome not seen before (an error text, numbers left out) becomes a base for further ones.

What must hold for every input: the answer is the rows, or one of the documented errors, which names
the file; it comes soon; memory stays bounded.
"""
