"""The audit of tokenized rows that any tool has made: turns recovered from the tokens, and the mask judged by them."""
