-- What arrived in the last 24 hours, by the door it came by
SELECT Source, count(DISTINCT StudyInstanceUID) AS studies, count(*) AS instances,
  min(ReceivedAt) AS first, max(ReceivedAt) AS last
FROM instances WHERE ReceivedAt > now()::TIMESTAMP - INTERVAL 24 HOUR
GROUP BY Source ORDER BY instances DESC;
