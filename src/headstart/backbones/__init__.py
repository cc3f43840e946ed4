"""Pretrained networks: a table of specs, VGG as a table and a loop, and their weights."""
