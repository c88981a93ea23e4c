"""Rejected rows: looked at, handed out, brought back in corrected, or waived."""
