"""What a measurement says in its last line."""

import json
from contextlib import redirect_stdout
from io import StringIO

import torch


def last_line(main, *arguments):
    """Run it; the threads of torch stay as they were."""
    num_threads, printed = torch.get_num_threads(), StringIO()
    try:
        with redirect_stdout(printed):
            main([str(each) for each in arguments])
    finally:
        torch.set_num_threads(num_threads)
    return json.loads(printed.getvalue().splitlines()[-1])
