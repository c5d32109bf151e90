"""Design explorer for Parameter-Inverted Image Pyramid Networks (PIIP)."""

__version__ = "0.1.0"

__all__ = ["Branch", "Design", "Interaction", "Merge", "SearchSpace", "__version__"]

TYPE_CHECKING = False  # what reads types takes it for true; `typing` itself takes time to import

if TYPE_CHECKING:
    from piip_explore.design import Branch, Design, Interaction, Merge
    from piip_explore.space import SearchSpace
else:

    def __getattr__(name: str) -> object:
        """Import a name when it is first asked for: the command line answers Ctrl-C before anything slow."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from piip_explore import design, space

        return getattr(space if name == "SearchSpace" else design, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
