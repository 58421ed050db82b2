"""All that imports Keras: what plugins made of networks share."""
