"""Training of whole trackers from recipes: `python -m ettrack_training.train`.

recipe.py -> what is trained, on what, how (YAML, every key checked)
feed.py -> batches on the training device      losses.py -> what is minimised
schedule.py, ema.py -> rates, averaged weights  validation.py -> does the network use the template?
state.py, log.py -> checkpoints, CSV            evaluation.py -> `ettrack eval` of the exported network
loop.py -> one training loop for all of it
"""
