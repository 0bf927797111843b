"""Dances out of videos: people, landmarks, a lifted and fitted body, and what physics and foot restoration make of it."""
