"""What people see in the browser: the viewer's pages and the Gradio Space."""
