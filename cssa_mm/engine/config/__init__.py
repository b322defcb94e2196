"""What a config may say: keys, components and values are checked, and its parts are made to agree."""
