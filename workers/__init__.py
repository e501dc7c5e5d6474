"""What a clock or a queue sets off: turns of lanes, the inbox, questions, the sweep."""
