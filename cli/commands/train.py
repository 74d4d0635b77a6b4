"""`jukebox train`: from a folder of recordings to a model."""

import typer

from cli.commands import (
    train_encode,
    train_new,
    train_pack,
    train_post_filter,
    train_prior,
    train_vqvae,
)

train_app = typer.Typer(help="Make and train a model on your own songs.", no_args_is_help=True)
train_app.command("new")(train_new.new)
train_app.command("encode")(train_encode.encode)
train_app.command("vqvae")(train_vqvae.vqvae)
train_app.command("prior")(train_prior.prior)
train_app.command("post-filter")(train_post_filter.post_filter)
train_app.command("pack")(train_pack.pack)
