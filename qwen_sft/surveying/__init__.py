"""What traces and training sets are like, in numbers: gathered once, shown as a page and on one screen."""
