"""Eight-bit models: calibration on what the runtime's loop cuts, layers chosen by measurement."""
