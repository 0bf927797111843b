"""Pictures of dances: stills, video, the data of the viewer."""
