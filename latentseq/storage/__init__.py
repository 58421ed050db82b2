"""Files and folders on disk: atomic writes, shards of frames and latents, trained models."""
