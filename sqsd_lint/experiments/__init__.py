"""Run the risk-window experiment: does a high score really cost safety when it is trained on?"""
