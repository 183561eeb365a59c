"""v-MFA, a mixture of many factor analysers; v_mfa.py runs it."""
