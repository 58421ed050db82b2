"""Files on disk: atomic writes, shards of frames and latents, artifact folders."""
