"""Training of whole trackers from recipes: `python -m ettrack_training.train`.

recipe.py: all settings of a run (YAML, every key is checked)
feed.py: batches in main memory                losses.py: the objective
schedule.py, ema.py: rates, averaged weights   validation.py: whether the network uses the template
state.py, log.py: checkpoints, CSV             evaluation.py: `ettrack eval` of the exported network
loop.py: the training loop
"""
