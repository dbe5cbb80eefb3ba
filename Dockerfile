# The app as a container, and as a Docker Space: user 1000, one port, and /data for everything that is kept.
FROM python:3.11-slim

# Where to look for torch besides pip's usual index: the address of an index of CPU builds makes the image several GB smaller.
ARG TORCH_INDEX=""

RUN useradd --create-home --uid 1000 user && install --directory --owner user /data /home/user/app
USER user
WORKDIR /home/user/app
ENV PATH=/home/user/.local/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/data/huggingface \
    PROVING_GROUND_STORE=/data/proving-ground.duckdb

COPY --chown=user requirements.txt .
RUN pip install --no-cache-dir --user ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r requirements.txt
COPY --chown=user . .

# The commit that runs note as theirs: the image has no git.
ARG COMMIT=""
ENV PROVING_GROUND_COMMIT=$COMMIT

EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
CMD ["streamlit", "run", "app.py", "--server.port=7860", "--server.address=0.0.0.0", "--server.headless=true"]
