"""Dances out of videos: people, landmarks, a body lifted and fitted to them, then physics and foot restoration."""
