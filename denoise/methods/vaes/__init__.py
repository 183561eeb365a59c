"""Other VAEs with discrete or mixed latents, to compare with; other_vaes.py runs any of them.

interface.py has what each of them is, and training.py how all of them learn. vq_vae.py has codes
(code_*.py), gumbel_vae.py and nash_vae.py have bits (bit_*.py), gm_wae.py has mixtures of Gaussians
(mixture_*.py). A posterior over some states of a patch rebuilds it, or one pass of the encoder.
"""
