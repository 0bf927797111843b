"""The Space: Hugging Face runs this file, with the package of requirements.txt installed."""

from infinitedance.spaces_demo.space import launch

if __name__ == "__main__":
    launch()
