"""The live page in a browser, and what there is to say about each number on it.

`definitions` explains a number, `layout` says what the page consists of; both follow from the catalogue, so a new
family is on the page by itself. `hub` reads Redis while somebody looks, `minutes` keeps the closed minutes of two days,
`comparisons` makes of them how a number compares with the day before. `server` answers the browser. What the browser
runs is in `static`: no library, no build step.
"""
