"""What a test may change about a store's connections, both of them."""

from sqlite_utils import Database

from edge_site_proxy.store import Store


async def pragma(store: Store, words: str) -> None:
    """Say `PRAGMA words` to each connection; a failing disk looks like `query_only = ON`."""

    def say(db: Database) -> None:
        evidence = store._evidence.conn  # noqa: SLF001 - nobody else may tune it
        db.execute(f"PRAGMA {words}").fetchall()
        evidence.set_authorizer(None)
        evidence.execute(f"PRAGMA {words}").fetchall()
        evidence.set_authorizer(store._authorise)  # noqa: SLF001 - as it was

    await store.read(say)
