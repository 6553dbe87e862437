"""The results as a static site: committed files in, `results/site/*.html` out.

A front page and a page an experiment, each whole in itself: styles, script and pictures are inside, nothing is
fetched, and without the script the tables are only not sortable. The same files give the same bytes.
"""
