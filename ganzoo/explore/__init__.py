"""A trained generator on a web page: ``ganzoo explore MODEL``.

``settings`` says what an image depends on, as text; ``engine`` makes it; ``server`` answers a browser.
"""
