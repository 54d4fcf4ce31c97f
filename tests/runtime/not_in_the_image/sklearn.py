"""The runtime's image has no scikit-learn, which XGBoost would take a second to import where there is one."""

raise ImportError("the image has no scikit-learn")
