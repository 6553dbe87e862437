"""Static site of the results: reads the committed files, writes `results/site/*.html`.

There is a front page and one page per experiment. Each page is self-contained: styles, script and figures are embedded
and nothing is fetched. Without JavaScript only the sorting of tables is missing. The same files give the same bytes.
"""
