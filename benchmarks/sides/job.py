"""The orders job as every side does it: names, types and layers."""

from __future__ import annotations

from pathlib import Path

LAYERS = ("staged", "bronze", "silver", "gold")
NAMES = {
    "Order ID": "order_id",
    "Customer ID": "customer_id",
    "Product": "product",
    "Order Date": "order_date",
    "Shipped At": "shipped_at",
    "Quantity": "quantity",
    "Unit Price": "unit_price",
    "Discount": "discount",
    "Status": "status",
    "Region": "region",
    "Channel": "channel",
    "Note": "note",
}
TRIMMED = ("status", "region", "channel", "product", "note")


def files(target: Path) -> dict[str, Path]:
    """One Parquet file for each layer."""
    return {layer: target / f"{layer}.parquet" for layer in LAYERS}
