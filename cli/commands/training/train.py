"""`jukebox train`: from a folder of recordings to a model."""

import typer

from cli.commands.training import (
    encode,
    new,
    pack,
    post_filter,
    prior,
    vqvae,
)

train_app = typer.Typer(help="Train a model on your own songs.", no_args_is_help=True)
train_app.command("new")(new.new)
train_app.command("encode")(encode.encode)
train_app.command("vqvae")(vqvae.vqvae)
train_app.command("prior")(prior.prior)
train_app.command("post-filter")(post_filter.post_filter)
train_app.command("pack")(pack.pack)
