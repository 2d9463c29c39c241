"""The pages that people read in a browser, rendered by the server; they need no JavaScript to read.

``pages`` has the routes, ``templates/`` the HTML, ``static/`` one stylesheet, one script and one
icon. Jinja2 escapes every value (``rendering``).
"""
