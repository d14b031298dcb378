-- The task in Flink SQL. ${...} is filled in by RunSql.java from the command line.

-- A record that cannot be read has no time, and one from the future would move the watermark beyond all others: both
-- get the record's own time here, and are left out below.
CREATE TABLE records (
  `type` STRING,
  `event` STRING,
  `userId` STRING,
  `messageId` STRING,
  `timestamp` TIMESTAMP_LTZ(3),
  received TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
  ts AS CASE
    WHEN `timestamp` IS NULL OR `timestamp` > received + INTERVAL '5' MINUTE THEN received
    ELSE `timestamp`
  END,
  WATERMARK FOR ts AS ts - INTERVAL '10' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = '${topic}',
  'properties.bootstrap.servers' = '${servers}',
  'properties.group.id' = 'flink',
  'properties.max.poll.records' = '10000',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = '${bounded}',
  'format' = 'json',
  'json.ignore-parse-errors' = 'true',
  'json.timestamp-format.standard' = 'ISO-8601'
);

-- Each messageId once: the first row in the order of arrival is kept, its key forgotten after the state's time to live.
CREATE TEMPORARY VIEW events AS
SELECT `type`, `event`, `userId`, ts
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY `messageId` ORDER BY PROCTIME()) AS nth
  FROM records
  WHERE `timestamp` = ts AND `userId` <> ''
    AND `type` IN ('track', 'identify', 'page', 'screen', 'group', 'alias')
)
WHERE nth = 1;

CREATE TABLE numbers (cell STRING, window_end TIMESTAMP(3), number BIGINT, other BIGINT) WITH (
  'connector' = 'kafka',
  'topic' = '${topic}.flink',
  'properties.bootstrap.servers' = '${servers}',
  'format' = 'json'
);

EXECUTE STATEMENT SET BEGIN

INSERT INTO numbers
SELECT 'traffic.5m', window_end, COUNT(*), COUNT(DISTINCT `userId`)
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '5' MINUTE))
GROUP BY window_start, window_end;

INSERT INTO numbers
SELECT 'traffic.1h', window_end, COUNT(*), COUNT(DISTINCT `userId`)
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '1' HOUR))
GROUP BY window_start, window_end;

INSERT INTO numbers
WITH sessions AS (
  SELECT
    `userId`,
    window_time AS closed_at,
    CASE WHEN MAX(ts) <= MIN(ts) + INTERVAL '10' SECOND
      AND SUM(CASE WHEN `type` = 'track' THEN 0 ELSE 1 END) < 2
      AND SUM(CASE WHEN `event` = 'Order Completed' THEN 1 ELSE 0 END) = 0 THEN 1 ELSE 0 END AS bounced
  FROM TABLE(SESSION(
    TABLE events PARTITION BY `userId`, DESCRIPTOR(ts), INTERVAL '30' MINUTE))
  WHERE `type` IN ('track', 'page', 'screen')
  GROUP BY `userId`, window_start, window_end, window_time
)
SELECT 'sessions.1h', window_end, COUNT(*), SUM(bounced)
FROM TABLE(HOP(TABLE sessions, DESCRIPTOR(closed_at), INTERVAL '1' MINUTE, INTERVAL '1' HOUR))
GROUP BY window_start, window_end;

END;
