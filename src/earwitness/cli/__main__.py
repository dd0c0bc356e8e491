"""`python -m earwitness.cli`."""

from earwitness.cli import app

if __name__ == "__main__":
    app(prog_name="earwitness")
