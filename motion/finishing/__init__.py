"""What a generated dance lacks before its feet are planted: rests, an ending, a stage, a gaze, toes."""
